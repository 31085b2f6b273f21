"""A batch of requests in a JSONL file, as a function for Globus Compute.

Registered by `figw endpoint register --register-functions`. Everything is inside the one function,
because its source is all that a worker gets. It needs Python 3.9 or later and `requests`.

The requests go to the model's server at `model_params["api_port"]`, or, where nothing listens there,
at the address in OPENAI_BASE_URL (`http://127.0.0.1:8000/v1`). Where there is neither, vLLM's own
`run_batch` loads the model and works the file off. The endpoint's `worker_init` sets, where needed:
  FIGW_BATCH_CONCURRENCY  how many requests run at once [64]
  FIGW_RUN_BATCH_ARGS     options for `run_batch`, such as `--tensor-parallel-size 4`
  FIGW_MODEL_SCHEME       `http` or `https`, for `api_port`; found out by itself otherwise
  OPENAI_API_KEY          the key that the server asks for
"""


def vllm_batch_function(parameters):
    """Works off the requests in `model_params["input_file"]`, one JSON object for each line in the
    format of OpenAI's batches, and returns as JSON text where the results are, and how many.

    Results are written as they come, so a task that is run again goes on where it was ended: lines
    with a good result are not asked again. A line that fails becomes a result with its error.
    """
    import json
    import os
    import shlex
    import socket
    import ssl
    import subprocess
    import sys
    import threading
    import time
    from concurrent.futures import ThreadPoolExecutor

    import requests

    TIMEOUT = (10, 3600)  # seconds to connect, and between two bytes
    ATTEMPTS = 4
    PASSING = (408, 429, 500, 502, 503, 504)
    PROGRESS_INTERVAL = 5  # seconds
    ROUTES = ("chat/completions", "completions", "embeddings", "responses", "messages")

    params = parameters["model_params"]
    model, input_file = params["model"], params["input_file"]
    port = int(params.get("api_port") or 0)
    folder = params.get("output_folder_path") or params.get("output_file_path")
    folder = folder or os.path.join(os.path.dirname(os.path.abspath(input_file)), "batch-results")
    folder = os.path.join(folder, str(parameters.get("batch_id", "batch")))
    name = os.path.splitext(os.path.basename(input_file))[0] + "_" + model.split("/")[-1]
    results_file = os.path.join(folder, name + ".results.jsonl")
    progress_file = os.path.join(folder, name + ".progress.json")

    lock = threading.Lock()
    local = threading.local()
    started = time.monotonic()
    metrics = {"total_tokens": 0, "num_responses": 0, "num_failed": 0, "lines_processed": 0}

    def server():
        """The address of the model's server, if there is one. The gateway always names a port, but
        the nodes of an endpoint for batches may have no server."""
        spoken = scheme(port) if port else None
        if spoken:
            return f"{spoken}://127.0.0.1:{port}/v1"
        return os.environ.get("OPENAI_BASE_URL", "").rstrip("/")

    def scheme(port):
        """Whether the server speaks TLS, which is found out by a handshake; None without a server."""
        try:
            connection = socket.create_connection(("127.0.0.1", port), timeout=TIMEOUT[0])
        except OSError:
            return None
        with connection:
            known = os.environ.get("FIGW_MODEL_SCHEME")
            if known in ("http", "https"):
                return known
            context = ssl.create_default_context()
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
            try:
                with context.wrap_socket(connection):
                    return "https"
            except OSError:  # also what `ssl` raises
                return "http"

    def session():
        """A session for each thread, so that connections are kept."""
        if not hasattr(local, "session"):
            local.session = requests.Session()
            local.session.trust_env = False  # proxies are for the world outside of the node
            local.session.verify = False  # the server is on this very node, its certificate its own
            key = os.environ.get("OPENAI_API_KEY", "none")
            local.session.headers["Authorization"] = f"Bearer {key}"
        return local.session

    def account(result):
        """Counts a result. Only a good one is not asked again."""
        response = result.get("response") or {}
        good = response.get("status_code") == 200
        usage = (response.get("body") or {}).get("usage") or {} if good else {}
        used = usage.get("total_tokens")
        if used is None:
            used = usage.get("input_tokens", 0) + usage.get("output_tokens", 0)
        metrics["total_tokens"] += used
        metrics["num_responses" if good else "num_failed"] += 1
        metrics["lines_processed"] += 1
        return good

    def earlier_results():
        """The ids of lines with a good result; drops failed results and a half-written last one."""
        known = set()
        if not os.path.exists(results_file):
            return known
        kept = results_file + ".kept"
        with open(results_file, encoding="utf-8") as old, open(kept, "w", encoding="utf-8") as new:
            for line in old:
                try:
                    result = json.loads(line)
                    good = (result.get("response") or {}).get("status_code") == 200
                except ValueError:
                    continue
                if good and line.endswith("\n"):
                    known.add(result["custom_id"])
                    account(result)
                    new.write(line)
        os.replace(kept, results_file)
        return known

    def save_progress():
        elapsed = time.monotonic() - started
        metrics["response_time"] = elapsed
        metrics["throughput_tokens_per_second"] = metrics["total_tokens"] / elapsed if elapsed else 0
        with open(progress_file + ".new", "w", encoding="utf-8") as progress:
            json.dump(metrics, progress, indent=4)
        os.replace(progress_file + ".new", progress_file)

    def checked(line):
        """Route and body of a line. Raises when it is no request for this batch's model."""
        request = json.loads(line)
        route = str(request.get("url", "/v1/chat/completions")).replace("/v1/", "", 1).strip("/")
        if request.get("method", "POST") != "POST" or route not in ROUTES:
            raise ValueError(f"not a request of a batch: {request.get('method')} {request.get('url')}")
        body = dict(request["body"])
        if body.setdefault("model", model) != model:
            raise ValueError(f"this batch is for model {model}, the line for {body['model']}")
        body.pop("stream", None)
        body.pop("stream_options", None)
        return route, body

    def ask(route, body):
        """Status and body of the server's answer, after several attempts where that can help."""
        for attempt in range(1, ATTEMPTS + 1):
            try:
                response = session().post(f"{base}/{route}", json=body, timeout=TIMEOUT)
                if response.status_code not in PASSING or attempt == ATTEMPTS:
                    break
            except requests.RequestException:
                if attempt == ATTEMPTS:
                    raise
            time.sleep(2**attempt / 2)
        text = response.content.decode("utf-8", "replace")
        try:
            return response.status_code, json.loads(text)
        except ValueError:
            return response.status_code, {"error": {"message": text}}

    def work(number, custom_id, line):
        result = {"id": f"line-{number}", "custom_id": custom_id, "response": None, "error": None}
        try:
            route, body = checked(line)
            status, answer = ask(route, body)
            request_id = f"{parameters.get('batch_id', 'batch')}-{number}"
            result["response"] = {"status_code": status, "request_id": request_id, "body": answer}
            if status != 200:
                result["error"] = {"code": str(status), "message": "the model's server refused"}
        except Exception as error:
            result["error"] = {"code": type(error).__name__, "message": str(error)}
        with lock:
            results.write(json.dumps(result) + "\n")
            results.flush()
            account(result)
            if time.monotonic() - saved[0] > PROGRESS_INTERVAL:
                saved[0] = time.monotonic()
                save_progress()

    def custom_id_of(number, line):
        try:
            return str(json.loads(line)["custom_id"])
        except (ValueError, KeyError, TypeError):
            return f"line-{number}"

    def ask_all():
        """Sends every line that has no result yet, so many at once and no more in memory."""
        at_once = int(os.environ.get("FIGW_BATCH_CONCURRENCY", "64"))
        free = threading.Semaphore(at_once * 2)
        with open(input_file, encoding="utf-8", errors="replace") as lines, ThreadPoolExecutor(at_once) as threads:
            for number, line in enumerate(lines, 1):
                custom_id = custom_id_of(number, line)
                if not line.strip() or custom_id in known:
                    continue
                free.acquire()
                task = threads.submit(work, number, custom_id, line)
                task.add_done_callback(lambda _: free.release())

    def run_batch():
        """Lets vLLM load the model and work the whole file off."""
        command = [sys.executable, "-m", "vllm.entrypoints.openai.run_batch", "-i", input_file]
        command += ["-o", results_file, "--model", model]
        command += shlex.split(os.environ.get("FIGW_RUN_BATCH_ARGS", ""))
        with open(os.path.join(folder, name + ".log"), "wb") as log:
            status = subprocess.run(command, stdout=log, stderr=log, check=False).returncode
        if status != 0:
            with open(log.name, encoding="utf-8", errors="replace") as log:
                end = log.read()[-4000:]
            no_server = f"no model answers at port {port}, and " if port else ""
            raise RuntimeError(f"{no_server}vLLM's run_batch failed with status {status}:\n{end}")
        with open(results_file, encoding="utf-8") as finished:
            for line in finished:
                account(json.loads(line))

    with open(input_file, "rb"):
        pass  # a file that cannot be read is said before anything is made
    os.makedirs(folder, exist_ok=True)
    base = server()
    saved = [started]
    if base:
        known = earlier_results()
        with open(results_file, "a", encoding="utf-8") as results:
            ask_all()
    else:
        run_batch()
    save_progress()
    files = {"results_file": results_file, "progress_file": progress_file}
    return json.dumps({**files, "metrics": metrics}, indent=4)
