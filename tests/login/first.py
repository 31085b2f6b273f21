"""What FIRST's helper does with its login, by the Globus SDK itself.

first.py token         prints an access token, renewed if need be
first.py keep FILE     keeps tokens as after a login by the SDK; FILE has them as JSON
first.py logout        gives the tokens back
first.py path NAME     prints where the SDK keeps the tokens of an application
"""

import json
import os
import sys

import globus_sdk
from globus_sdk.token_storage import JSONTokenStorage, TokenStorageData

CLIENT = os.environ["CLIENT"]
GATEWAY = os.environ["GATEWAY"]
SCOPE = f"https://auth.globus.org/scopes/{GATEWAY}/action_all"


def app() -> globus_sdk.UserApp:
    return globus_sdk.UserApp(
        "inference_app",
        client_id=CLIENT,
        scope_requirements={GATEWAY: [SCOPE]},
        config=globus_sdk.GlobusAppConfig(request_refresh_tokens=True),
    )


def storage(name: str) -> JSONTokenStorage:
    return JSONTokenStorage.for_globus_app(
        client_id=CLIENT,
        app_name=name,
        config=globus_sdk.GlobusAppConfig(),
        namespace="DEFAULT",
    )


def main(command: str, *rest: str) -> None:
    match command:
        case "token":
            assert not app().login_required()
            authorizer = app().get_authorizer(GATEWAY)
            authorizer.ensure_valid_token()
            print(authorizer.access_token)
        case "keep":
            with open(rest[0], encoding="utf-8") as file:
                kept = {rs: TokenStorageData.from_dict(t) for rs, t in json.load(file).items()}
            app().token_storage.store_token_data_by_resource_server(kept)
        case "logout":
            app().logout()
        case "path":
            print(storage(rest[0]).filepath)


main(*sys.argv[1:])
