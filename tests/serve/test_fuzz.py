"""Whatever is sent, made from the server's own OpenAPI document or against it: never a 500, and every error
in OpenAI's form."""

import schemathesis
from fastapi import FastAPI
from hypothesis import HealthCheck, settings
from tests.serve.conftest import KEY

from groundup.serve.app import router


def document() -> dict:
    app = FastAPI()
    app.include_router(router)
    return app.openapi()


schema = schemathesis.openapi.from_dict(document())


@schema.parametrize()
@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
def test_anything_is_answered_or_refused(case, server):
    answer = case.call(base_url=server.root, headers={"Authorization": f"Bearer {KEY}"})
    assert answer.status_code < 500, answer.text
    if answer.status_code >= 400:
        assert set(answer.json()["error"]) == {"message", "type", "param", "code"}
