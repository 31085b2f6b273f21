"""A real S3 server for the stories: moto's, with keys that it checks.

Prints one line of JSON with its address and keys, then answers one line of JSON for each on standard
input: {"do": "list"}, {"do": "unfinished"}, {"do": "get"|"delete"|"truncate"|"flip", "key": …} or {"do": "put", "key": …,
"text": …}. It ends with its standard input.
"""

import json
import logging
import os
import sys

os.environ["AWS_DEFAULT_REGION"] = "us-east-1"
os.environ["AWS_ACCESS_KEY_ID"] = os.environ["AWS_SECRET_ACCESS_KEY"] = "nobody"
logging.getLogger("werkzeug").setLevel(logging.ERROR)

import boto3
from moto.core.authorization import enable_iam_authentication
from moto.server import ThreadedMotoServer

BUCKET = "copies"


def answer(s3, ask):
    do, key = ask["do"], ask.get("key")
    if do == "list":
        pages = s3.get_paginator("list_objects_v2").paginate(Bucket=BUCKET)
        return {one["Key"]: one["Size"] for page in pages for one in page.get("Contents", [])}
    if do == "unfinished":
        uploads = s3.list_multipart_uploads(Bucket=BUCKET).get("Uploads", [])
        return [one["Key"] for one in uploads]
    if do == "delete":
        s3.delete_object(Bucket=BUCKET, Key=key)
        return None
    if do == "put":
        s3.put_object(Bucket=BUCKET, Key=key, Body=ask["text"].encode())
        return None
    body = bytearray(s3.get_object(Bucket=BUCKET, Key=key)["Body"].read())
    if do == "truncate":
        del body[len(body) // 2 :]
    elif do == "flip":
        body[len(body) // 2] ^= 1
    else:
        return body.decode()
    s3.put_object(Bucket=BUCKET, Key=key, Body=bytes(body))
    return None


def main():
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    url = "http://{}:{}".format(*server.get_host_and_port())
    boto3.client("s3", endpoint_url=url).create_bucket(Bucket=BUCKET)
    iam = boto3.client("iam", endpoint_url=url)
    iam.create_user(UserName="figw")
    policy = {"Effect": "Allow", "Action": "s3:*", "Resource": "*"}
    document = json.dumps({"Version": "2012-10-17", "Statement": policy})
    iam.put_user_policy(UserName="figw", PolicyName="copies", PolicyDocument=document)
    key = iam.create_access_key(UserName="figw")["AccessKey"]
    keys = {"access_key_id": key["AccessKeyId"], "secret_access_key": key["SecretAccessKey"]}
    s3 = boto3.client(
        "s3",
        endpoint_url=url,
        aws_access_key_id=keys["access_key_id"],
        aws_secret_access_key=keys["secret_access_key"],
    )
    with enable_iam_authentication():
        print(json.dumps({"url": url, "bucket": BUCKET, **keys}), flush=True)
        for line in sys.stdin:
            print(json.dumps(answer(s3, json.loads(line))), flush=True)


main()
