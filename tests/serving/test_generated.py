"""Requests generated from OpenAPI: no failure of the server, and memory that does not grow."""

import os

import pytest
from _server import save_bundle

from sklearn_llmrec.serving import create_app

schemathesis = pytest.importorskip("schemathesis", reason="generates requests")


@pytest.mark.parametrize(
    "n_requests", [150, pytest.param(5000, marks=[pytest.mark.slow, pytest.mark.timeout(3600)])]
)
def test_generated_requests_do_not_break_the_server(tmp_path, n_requests):
    import psutil
    from hypothesis import HealthCheck, Phase, given, settings
    from starlette.testclient import TestClient

    save_bundle(tmp_path / "model.zip")
    app = create_app(tmp_path / "model.zip", feedback=str(tmp_path / "f.db"), keys=[])
    with TestClient(app, raise_server_exceptions=False) as client:
        schema = schemathesis.openapi.from_dict(client.get("/openapi.json").json())
        operations = [found.ok() for found in schema.get_all_operations()]
        posts = [one for one in operations if one.method.upper() == "POST" and one.body]
        assert len(posts) == 4
        modes = list(schemathesis.GenerationMode)
        process, sizes, statuses = psutil.Process(os.getpid()), [], set()
        n_each = n_requests // (len(posts) * len(modes))
        for operation in posts:
            for mode in modes:

                @given(case=operation.as_strategy(generation_mode=mode))
                @settings(
                    max_examples=n_each,
                    deadline=None,
                    phases=[Phase.generate],
                    suppress_health_check=list(HealthCheck),
                    database=None,
                    derandomize=True,
                )
                def ask(case):
                    request = case.as_transport_kwargs(base_url="http://testserver")
                    request.pop("cookies", None)  # the endpoints have none
                    if isinstance(request.get("data"), bytes):
                        request["content"] = request.pop("data")
                    answer = client.request(**request)
                    statuses.add(answer.status_code)
                    assert answer.status_code < 500 or answer.status_code == 503, answer.text
                    if answer.status_code >= 400 and answer.status_code != 404:
                        assert answer.json()["error"]["message"]

                ask()
                sizes.append(process.memory_info().rss)
        assert statuses >= {200, 422}
        assert sizes[-1] - sizes[0] < 200 * 2**20
