"""Runs one task as a worker of Globus Compute does: with the real SDK's serialiser.

Standard input: JSON with `function` (packed code) and `payload` (packed arguments). Standard output:
JSON with `results` (the result in each format) or `exception` (its traceback).
"""

import contextlib
import json
import sys
import traceback
import warnings

from globus_compute_sdk.serialize import (
    AllDataStrategies,
    ComputeSerializer,
    DillDataBase64,
    JSONData,
)

warnings.simplefilter("ignore")  # of unverified TLS on the loopback
task = json.load(sys.stdin)
function, args, kwargs = ComputeSerializer().unpack_and_deserialize(
    task["function"] + task["payload"]
)
try:
    with contextlib.redirect_stdout(sys.stderr):
        value = function(*args, **kwargs)
except Exception:
    outcome = {"exception": traceback.format_exc()}
else:
    formats = (JSONData(), DillDataBase64(), AllDataStrategies())
    outcome = {
        "results": [ComputeSerializer(strategy_data=format).serialize(value) for format in formats]
    }
json.dump(outcome, sys.stdout)
