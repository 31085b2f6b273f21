"""One request to a vLLM server on the compute node, as a function for Globus Compute.

Registered by `figw endpoint register --register-functions`. Everything is inside the one function,
because its source is all that a worker gets. It needs Python 3.9 or later and `requests`.

The endpoint's `worker_init` sets, where needed:
  INTERNAL_STREAMING_SECRET  the gateway's `globus_compute.streaming_secret`; for streamed answers
  FIGW_STREAMING_CA          a CA bundle for the gateway's certificate, or `off` to trust any
  FIGW_MODEL_SCHEME          `http` or `https`; found out by itself otherwise
  OPENAI_API_KEY             the key that the vLLM server asks for
"""


def vllm_inference_function(parameters):
    """Asks the model's server as `parameters["model_params"]` says, and returns its answer as text.

    `openai_endpoint` is the route, `api_port` the server's port; all the rest is the request. With
    `stream` the answer goes to the gateway line by line and a summary is returned. Raises when the
    server refuses a request that is not streamed.
    """
    import json
    import os
    import queue
    import re
    import socket
    import ssl
    import threading
    import time

    import requests

    MODEL_TIMEOUT = (10, 3600)  # seconds to connect, and between two bytes
    POST_TIMEOUT = 10  # seconds
    INTERVAL = 0.05  # seconds between two posts of a slow stream
    LINES = 20  # a post does not wait when it has these
    DATA_LIMIT = 150_000  # bytes of one post that the gateway takes
    ERROR_LIMIT = 15_000
    ENDING_WITH_DONE = ("chat/completions", "completions")
    ADDRESS = (
        "streaming_server_host",
        "streaming_server_port",
        "stream_task_id",
        "stream_task_token",
    )

    def model_url(route, port):
        """The address of `route`, and whether it is asked with GET."""
        route = re.sub(r"^(\.\./|/|v1/)+", "", route)
        if not re.fullmatch(r"[A-Za-z0-9_]+(/[A-Za-z0-9_]+)*", route):
            raise ValueError(f"openai_endpoint is not a route: {route!r}")
        prefix = "" if route in ("health", "metrics", "version") else "v1/"
        is_get = route in ("health", "metrics", "version", "models")
        return f"{scheme(port)}://127.0.0.1:{port}/{prefix}{route}", is_get, route

    def scheme(port):
        """Whether the server speaks TLS, which is found out by a handshake."""
        remembered = f"FIGW_MODEL_SCHEME_{port}"
        known = os.environ.get("FIGW_MODEL_SCHEME", os.environ.get(remembered))
        if known in ("http", "https"):
            return known
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        try:
            connection = socket.create_connection(("127.0.0.1", port), timeout=MODEL_TIMEOUT[0])
        except OSError as error:
            raise ConnectionError(f"no model answers at port {port}: {error}") from None
        try:
            with connection, context.wrap_socket(connection):
                found = "https"
        except OSError:  # also what `ssl` raises
            found = "http"
        os.environ[remembered] = found  # for the next call in this worker's process
        return found

    def model_session():
        session = requests.Session()
        session.trust_env = False  # proxies are for the world outside of the node
        session.verify = False  # the server is on this very node, its certificate its own
        key = os.environ.get("OPENAI_API_KEY", "none")
        session.headers["Authorization"] = f"Bearer {key}"
        return session

    def failure(status, text):
        return f"API request failed with status code: {status}\nResponse text: {text}"

    def whole(url, is_get, request):
        with model_session() as session:
            if is_get:
                response = session.get(url, timeout=MODEL_TIMEOUT)
            else:
                response = session.post(url, json=request, timeout=MODEL_TIMEOUT)
        text = response.content.decode("utf-8", "replace")
        if response.status_code != 200:
            raise Exception(failure(response.status_code, text))
        try:
            json.loads(text)
        except ValueError:
            return json.dumps({"completion": text})
        return text

    class Gateway:
        """Where a streamed answer goes. Lines are posted by a thread, so that the model never waits."""

        def __init__(self, request):
            protocol = request.pop("streaming_server_protocol", "https")
            address = [request.pop(name, None) for name in ADDRESS]
            missing = [name for name, value in zip(ADDRESS, address) if not value]
            if missing:
                raise ValueError(f"Streaming requires the following parameters: {', '.join(missing)}")
            secret = os.environ.get("INTERNAL_STREAMING_SECRET")
            if not secret:
                raise ValueError("INTERNAL_STREAMING_SECRET is not set: set it in the endpoint's worker_init")
            host, port, self.task_id, token = address
            self.url = f"{protocol}://{host}:{port}/resource_server/api/streaming"
            self.session = requests.Session()
            self.session.headers["Content-Type"] = "application/json"
            self.session.headers["X-Internal-Secret"] = secret
            self.session.headers["X-Stream-Task-Token"] = token
            authority = os.environ.get("FIGW_STREAMING_CA")
            self.verify = False if authority == "off" else authority or None
            self.lines = queue.Queue(maxsize=10_000)
            self.unsent = None
            self.sent = 0
            self.sender = threading.Thread(target=self.send, daemon=True)
            self.sender.start()

        def put(self, line):
            """Takes a line. Raises when an earlier one did not get through."""
            if self.unsent:
                raise self.unsent
            self.lines.put(line)

        def close(self):
            """Waits until all lines are posted. Raises when one did not get through."""
            self.lines.put(None)
            self.sender.join()
            if self.unsent:
                raise self.unsent

        def send(self):
            try:
                for batch in self.batches():
                    self.post("data", DATA_LIMIT, data="\n".join(batch))
                    self.sent += len(batch)
            except Exception as error:
                self.unsent = error
                while self.lines.get() is not None:
                    pass

        def batches(self):
            """The lines as they come: the first at once, later ones with those of an interval."""
            batch, size, due, line = [], 0, 0.0, ""
            while line is not None:
                wait = max(due - time.monotonic(), 0) if len(batch) < LINES else 0
                try:
                    line = self.lines.get(timeout=wait) if batch else self.lines.get()
                except queue.Empty:
                    line = ""
                cost = len(json.dumps(line, ensure_ascii=False).encode())
                if batch and (not line or size + cost > DATA_LIMIT - 1_000):
                    yield batch
                    batch, size, due = [], 0, time.monotonic() + INTERVAL
                if line:
                    batch.append(line)
                    size += cost

        def post(self, kind, limit, **content):
            content = {"task_id": self.task_id, "type": kind, **content}
            body = json.dumps(content, ensure_ascii=False).encode()
            if len(body) > limit:
                raise Exception(f"an event of {len(body)} bytes is more than the gateway takes")
            for pause in (0.1, 0.3, None):
                try:
                    response = self.session.post(
                        f"{self.url}/{kind}/", data=body, timeout=POST_TIMEOUT, verify=self.verify
                    )
                    break
                except requests.RequestException as error:
                    # Sent again only where nothing can have arrived: there was no connection.
                    if pause is None or "establish a new connection" not in str(error):
                        raise Exception(f"the gateway cannot be reached: {error}") from None
                    time.sleep(pause)
            if response.status_code != 200:
                status, text = response.status_code, response.text[:300]
                raise Exception(f"the gateway refused the answer with status {status}: {text}")

        def post_error(self, error):
            """Tells what went wrong, as far as the gateway can still be told."""
            text = str(error).encode()[: ERROR_LIMIT // 2].decode("utf-8", "ignore")
            try:
                self.post("error", ERROR_LIMIT, error=text)
            except Exception as unsent:
                print(f"the gateway was not told of the error: {unsent}")

    def relay(url, route, request, gateway):
        """Hands the model's lines to the gateway; returns how many, and the tokens used."""
        count, tokens, done = 0, 0, False
        with model_session() as session:
            with session.post(url, json=request, timeout=MODEL_TIMEOUT, stream=True) as response:
                if response.status_code != 200:
                    text = response.content.decode("utf-8", "replace")
                    raise Exception(failure(response.status_code, text))
                for line in response.iter_lines(chunk_size=65_536):
                    line = line.decode("utf-8", "replace")
                    if line.strip() == "data: [DONE]":
                        done = True
                        break
                    if line.strip():
                        gateway.put(line)
                        count += 1
                        tokens = total_tokens(line) or tokens
        if not done and route in ENDING_WITH_DONE:
            raise Exception("the model's server ended the answer before its end")
        return count, tokens

    def total_tokens(line):
        found = re.search(r'"total_tokens"\s*:\s*(\d+)', line)
        return int(found.group(1)) if found else 0

    def streamed(url, route, request):
        gateway = Gateway(request)
        started = time.monotonic()
        count, tokens, error = 0, 0, None
        try:
            try:
                count, tokens = relay(url, route, request, gateway)
            finally:
                gateway.close()
            gateway.post("done", ERROR_LIMIT)
        except Exception as problem:
            error = str(problem)
            gateway.post_error(problem)
        elapsed = time.monotonic() - started
        summary = {
            "streaming": True,
            "task_id": gateway.task_id,
            "status": "error" if error else "completed",
            "response_time": elapsed,
            "total_tokens": tokens,
            "throughput_tokens_per_second": tokens / elapsed if elapsed else 0,
            "total_chunks": count,
            "chunks_sent_to_server": gateway.sent,
        }
        return json.dumps({**summary, "error": error} if error else summary)

    request = dict(parameters["model_params"])
    url, is_get, route = model_url(request.pop("openai_endpoint"), int(request.pop("api_port")))
    if request.get("stream") and not is_get:
        return streamed(url, route, request)
    for name in (*ADDRESS, "streaming_server_protocol"):
        request.pop(name, None)
    return whole(url, is_get, request)
