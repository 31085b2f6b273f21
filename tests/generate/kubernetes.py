"""Holds each object of a file against Kubernetes' own schemas, and says what the test wants to know."""

import json
import re
import sys

import kubernetes_validate
import yaml

VERSION = "1.33"

with open(sys.argv[1]) as file:
    text = file.read()
objects = list(yaml.safe_load_all(text))
for found in objects:
    # Strict: a key that the schema does not know is an error, too.
    kubernetes_validate.validate(found, VERSION, strict=True)

by_kind = {found["kind"]: found for found in objects}
deployment = by_kind["Deployment"]["spec"]
pod = deployment["template"]["spec"]

# What refers to each other is there.
assert by_kind["Service"]["spec"]["selector"].items() <= deployment["template"]["metadata"]["labels"].items()
assert deployment["selector"]["matchLabels"].items() <= deployment["template"]["metadata"]["labels"].items()
names = {(found["kind"], found["metadata"]["name"]) for found in objects}
pods = [pod] + [
    found["spec"]["template"]["spec"] if found["kind"] == "Job" else found["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    for found in objects
    if found["kind"] in ("Job", "CronJob")
]
for spec in pods:
    assert ("ServiceAccount", spec["serviceAccountName"]) in names
    volumes = {volume["name"] for volume in spec["volumes"]}
    for volume in spec["volumes"]:
        if "configMap" in volume:
            assert ("ConfigMap", volume["configMap"]["name"]) in names
        if "persistentVolumeClaim" in volume:
            assert ("PersistentVolumeClaim", volume["persistentVolumeClaim"]["claimName"]) in names
    for container in spec["containers"]:
        assert {mount["name"] for mount in container["volumeMounts"]} <= volumes
        assert container["securityContext"]["readOnlyRootFilesystem"]
    assert spec["securityContext"]["runAsNonRoot"]

print(
    json.dumps(
        {
            "kinds": sorted(found["kind"] for found in objects),
            "replicas": deployment["replicas"],
            "grace": pod["terminationGracePeriodSeconds"],
            "config": by_kind["ConfigMap"]["data"]["config.yaml"],
            "secrets": re.findall(r"--from-file=(\S+)", text),
        }
    )
)
