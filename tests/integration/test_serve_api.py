"""The API without a socket: what is answered, what is refused, and what is given up."""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
import re
import sys
import threading
import time

import httpx2 as httpx
import pytest
from safetensors import safe_open
from starlette.testclient import TestClient

from nmt.config import SearchConfig, ServeConfig
from nmt.explain.explained import doubt
from nmt.folder.bundle import BEST
from nmt.serve.app import HEADERS, make_app
from nmt.serve.models import Models, ServedModel
from nmt.translate.translator import Translator
from tests.tiny_model import make_model_folder

TEXT = {"q": "ab cd", "source": "en", "target": "de"}


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("serve")
    search = SearchConfig(beam=3, max_length_ratio=0.5, split_sentences=True)
    return Models(
        [
            ServedModel(name, Translator.load(make_model_folder(folder / name, seed=seed), search=search))
            for seed, name in enumerate(("first", "second"), 1)
        ]
    )


@pytest.fixture(scope="module")
def shared(models):
    with TestClient(make_app(models, ServeConfig(char_limit=1000, batch_limit=20))) as client:
        yield client


@contextlib.contextmanager
def serving(models, **settings):
    with TestClient(make_app(models, ServeConfig(**settings))) as client:
        yield client


def alone(models, line, **settings):
    return [found.text for found in models.served[0].translator.translate_detailed([line], **settings)[0]]


def test_a_text_and_a_list(models, shared):
    expected = alone(models, "ab cd")[0]
    answer = shared.post("/translate", json=TEXT)
    assert (answer.status_code, answer.json()) == (200, {"translatedText": expected})
    answer = shared.post("/translate", json=TEXT | {"q": ["ab cd", "", " x\n\ny "]})
    x, y = alone(models, "x")[0], alone(models, "y")[0]
    assert answer.json() == {"translatedText": [expected, "", f" {x}\n\n{y} "]}


def test_forms_of_both_kinds(models, shared):
    expected = {"translatedText": alone(models, "ab cd")[0]}
    assert shared.post("/translate", data=TEXT).json() == expected
    files = {name: (None, value) for name, value in TEXT.items()}
    assert shared.post("/translate", files=files).json() == expected
    assert shared.post("/translate", content=json.dumps(TEXT)).json() == expected


def test_alternatives_are_different_and_the_best_is_the_same(models, shared):
    answer = shared.post("/translate", json=TEXT | {"alternatives": 2}).json()
    assert [answer["translatedText"], *answer["alternatives"]] == list(
        dict.fromkeys(alone(models, "ab cd", num_best=3))
    )
    batch = shared.post("/translate", json=TEXT | {"q": ["ab cd"], "alternatives": "2"}).json()
    assert batch == {name: [value] for name, value in answer.items()}


def test_a_model_by_name(models, shared):
    answer = shared.post("/translate", json=TEXT | {"model": "second"})
    assert answer.json()["translatedText"] == models.served[1].translator.translate(["ab cd"])[0]
    assert [one["name"] for one in shared.get("/models").json()] == ["first", "second"]


def test_a_text_explained(models, shared):
    text = "ab, cd.\n\n  x\U0001f600 y"
    fields = TEXT | {"q": text, "alternatives": 1, "model": "second"}
    plain, found = (shared.post(path, json=fields).json() for path in ("/translate", "/explain"))
    assert {name: found[name] for name in plain} == plain
    assert (found["model"], found["seconds"] > 0) == ("second", True)
    for words, whole in ((found["sourceWords"], text), (found["words"], found["translatedText"])):
        assert [word["text"] for word in words] == [whole[word["start"] : word["end"]] for word in words]
    assert "".join(word["text"] for word in found["sourceWords"]) == "".join(text.split())
    [[alone]] = models.served[1].translator.translate_detailed(["ab, cd."], attention=True)
    first = [word for word in found["words"] if word["end"] <= len(alone.text)]
    expected = math.exp(sum(alone.log_probs[: len(alone.pieces)]))
    assert math.prod(word["probability"] for word in first) == pytest.approx(expected, rel=0.05)
    second = [number for number, word in enumerate(found["sourceWords"]) if word["start"] > len("ab, cd.")]
    assert all(number in second for word in found["words"][len(first) :] for number, _ in word["attention"])
    assert all(word["doubt"] == doubt(word["probability"]) for word in found["words"])


def test_a_text_that_is_in_the_target_language_already(shared):
    found = shared.post("/explain", json=TEXT | {"source": "de"}).json()
    assert found == {"translatedText": "ab cd", "sourceWords": [], "words": []}
    assert shared.post("/explain", json=TEXT | {"source": "auto"}).json()["detectedLanguage"]


@pytest.mark.parametrize("change", [{"q": ["a"]}, {"format": "html"}])
def test_what_is_not_explained(shared, change):
    answer = shared.post("/explain", json=TEXT | change)
    assert (answer.status_code, list(answer.json())) == (400, ["error"])


def test_models_and_their_sizes(shared, models):
    [first, _] = shared.get("/models").json()
    weights = models.served[0].translator.bundle.folder / BEST
    with safe_open(weights, "np") as tensors:
        expected = sum(tensors.get_tensor(name).size for name in tensors.keys())  # noqa: SIM118 (it is no dict)
    assert (first["parameters"], first["bytes"]) == (expected, 4 * expected)


def test_html_keeps_its_tags(shared):
    text = '<p id="a">ab <b>cd</b></p>\n<p>x &amp; y</p>'
    found = shared.post("/translate", json=TEXT | {"q": text, "format": "html"}).json()["translatedText"]
    assert found.startswith('<p id="a">')
    assert found.count("<b>") == found.count("</b>") == 1
    assert "</p>\n<p>" in found


def test_detection(models, shared):
    found = shared.post("/detect", data={"q": "Guten Tag, wie geht es Ihnen?"}).json()
    assert [one["language"] for one in found] == ["de", "en"]
    assert 50 < found[0]["confidence"] <= 100
    answer = shared.post(
        "/translate", json=TEXT | {"q": ["this is the question", "das ist es nicht"], "source": "auto"}
    )
    detected = answer.json()["detectedLanguage"]
    assert [one["language"] for one in detected] == ["en", "de"]
    assert answer.json()["translatedText"][1] == "das ist es nicht"
    assert shared.post("/translate", json=TEXT | {"source": "auto"}).json()["detectedLanguage"]["language"]


def test_what_clients_read(shared):
    assert shared.get("/languages").json() == [{"code": "en", "name": "English", "targets": ["de"]}]
    assert shared.get("/health").json() == {"status": "ok"}
    settings = shared.get("/frontend/settings").json()
    assert (settings["charLimit"], settings["keyRequired"], settings["suggestions"]) == (1000, False, False)
    assert settings["language"]["target"] == {"code": "de", "name": "German"}
    spec = shared.get("/spec").json()
    assert set(spec["paths"]) >= {"/translate", "/explain", "/detect", "/languages", "/frontend/settings", "/health"}
    metrics = shared.get("/metrics").text
    assert 'nmt_requests_total{path="/languages",status="200"}' in metrics
    assert "nmt_requests_in_work 0" in metrics


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"q": None}, "missing q"),
        ({"source": None}, "missing source"),
        ({"target": ""}, "missing target"),
        ({"q": 3}, "q must be a text or a list of texts"),
        ({"q": ["a", 3]}, "q must be a text or a list of texts"),
        ({"source": ["en"]}, "source must be a text"),
        ({"source": "fr"}, "fr is not supported as a source language"),
        ({"target": "fr"}, "fr is not supported as a target language"),
        ({"source": "de", "target": "en"}, "is not available as a target language from de"),
        ({"q": "a" * 1001}, r"request \(1001\) exceeds text limit \(1000\)"),
        ({"q": ["a"] * 21}, r"request \(21\) exceeds batch limit \(20\)"),
        ({"alternatives": "many"}, "alternatives must be a whole number"),
        ({"alternatives": -1}, "alternatives must be a whole number"),
        ({"alternatives": 1.5}, "alternatives must be a whole number"),
        ({"alternatives": True}, "alternatives must be a whole number"),
        ({"alternatives": 10_000}, r"alternatives \(10000\) exceeds the limit \(2\)"),
        ({"format": "xml"}, "format must be text or html"),
        ({"model": "third"}, "there are first, second"),
        ({"model": 3}, "model must be a name"),
        ({"api_key": 3}, "api_key must be a text"),
    ],
)
def test_wrong_requests_are_refused(shared, change, problem):
    answer = shared.post("/translate", json=TEXT | change)
    assert answer.status_code == 400
    assert list(answer.json()) == ["error"]
    assert re.search(problem, answer.json()["error"])


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b'{"q"', "application/json"),
        (b"[1]", "application/json"),
        (b"[" * 100_000, "application/json"),
        (b'{"q": ' + b"9" * 5000 + b"}", "application/json"),
        (b'{"q": "\xff"}', "application/json"),
        (b"q=%ff", "application/x-www-form-urlencoded"),
        (b"&".join(b"a=b" for _ in range(2000)), "application/x-www-form-urlencoded"),
        (b"--x\r\nnonsense", "multipart/form-data; boundary=x"),
        (b"", "multipart/form-data"),
        (b"", "application/json"),
        (b"\x00\x01", ""),
    ],
)
def test_bodies_that_are_none(shared, body, kind):
    answer = shared.post("/translate", content=body, headers={"content-type": kind} if kind else {})
    assert answer.status_code in (400, 413)
    assert list(answer.json()) == ["error"]


def test_a_body_that_is_too_long(shared):
    answer = shared.post("/translate", content=b" " * 200_000, headers={"content-type": "application/json"})
    assert answer.status_code == 413


def test_half_characters_are_read_as_unknown_ones(shared):
    for name in ("q", "source", "target", "format", "model", "api_key", "alternatives"):
        body = json.dumps(TEXT | {name: "a \ud800"})
        answer = shared.post("/translate", content=body, headers={"content-type": "application/json"})
        assert answer.status_code == (200 if name in ("q", "api_key") else 400)
    assert shared.post("/translate", content='{"q": ["\\ud800"], "source": "en", "target": "de"}').status_code == 200


def test_paths_and_methods_that_are_not_there_are_json(shared):
    missing, wrong = shared.get("/nothing"), shared.get("/translate")
    assert (missing.status_code, wrong.status_code) == (404, 405)
    assert "error" in missing.json()
    assert "error" in wrong.json()
    assert shared.post("/suggest", json={"q": "a"}).status_code == 403


def test_headers_of_every_answer(shared):
    for answer in (shared.get("/"), shared.get("/nothing"), shared.post("/translate", json=TEXT)):
        assert {name: answer.headers[name] for name in HEADERS} == HEADERS
        assert "access-control-allow-origin" not in answer.headers


def test_other_pages_may_ask_only_where_that_is_wanted(models):
    with serving(models, cors=("https://example.org",)) as client:
        for origin, allowed in (("https://example.org", "https://example.org"), ("https://example.net", None)):
            answer = client.get("/languages", headers={"origin": origin})
            assert answer.headers.get("access-control-allow-origin") == allowed
            assert "access-control-allow-credentials" not in answer.headers


def test_keys_and_rates(models, tmp_path):
    (tmp_path / "keys").write_text("secret 2\n", encoding="utf-8")
    with serving(models, keys=str(tmp_path / "keys"), require_key=True) as client:
        assert client.post("/translate", json=TEXT).status_code == 400
        assert client.post("/translate", json=TEXT | {"api_key": "wrong"}).status_code == 403
        answers = [client.post("/translate", json=TEXT | {"api_key": "secret"}) for _ in range(3)]
        assert [answer.status_code for answer in answers] == [200, 200, 429]
        assert int(answers[2].headers["retry-after"]) >= 1
        assert client.get("/metrics").status_code == 401
        assert client.get("/metrics", headers={"authorization": "Bearer secret"}).status_code == 200
        assert client.get("/languages").status_code == 200


def slowed(models, monkeypatch, entered=None):
    """Every step of a search waits, so that requests stay in work."""
    from nmt.search.live import LiveSearch

    step = LiveSearch.step

    def slow(self):
        if entered:
            entered.set()
        time.sleep(0.02)
        return step(self)

    monkeypatch.setattr(LiveSearch, "step", slow)


def test_a_deadline_gives_the_search_up(models, monkeypatch):
    slowed(models, monkeypatch)
    with serving(models, timeout=0.05, char_limit=0) as client:
        answer = client.post("/translate", json=TEXT | {"q": "ab cd ef gh " * 100})
        assert answer.status_code == 504
        assert "longer than 0.05 seconds" in answer.json()["error"]
        for _ in range(200):
            if "nmt_sentences_in_search 0" in client.get("/metrics").text:
                return
            time.sleep(0.02)
        raise AssertionError("still searched")


def asynchronously(app, work):
    """Run work(client) against the application, in an event loop of its own."""

    async def run():
        async with app.router.lifespan_context(app):
            transport = httpx.ASGITransport(app)
            async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
                return await work(client)

    return asyncio.run(run())


def test_company_changes_nothing(models):
    texts = [f"{chr(97 + number % 26)}b {chr(97 + number % 7)}{'cd' * (number % 5)} e" for number in range(40)]

    async def work(client):
        answers = await asyncio.gather(*(client.post("/translate", json=TEXT | {"q": text}) for text in texts))
        return [answer.json()["translatedText"] for answer in answers]

    found = asynchronously(make_app(models, ServeConfig()), work)
    assert found == models.served[0].translator.translate(texts)


def test_one_request_too_many_is_told_when_to_come_again(models, monkeypatch):
    slowed(models, monkeypatch)

    async def work(client):
        return await asyncio.gather(*(client.post("/translate", json=TEXT | {"q": "abc " * 9}) for _ in range(5)))

    answers = asynchronously(make_app(models, ServeConfig(queue_limit=3)), work)
    assert sorted(answer.status_code for answer in answers) == [200, 200, 200, 429, 429]
    refused = next(answer for answer in answers if answer.status_code == 429)
    assert 1 <= int(refused.headers["retry-after"]) <= 60


def test_a_client_that_goes_away_frees_its_place(models, monkeypatch):
    entered = threading.Event()
    slowed(models, monkeypatch, entered)
    app = make_app(models, ServeConfig(char_limit=0))
    body = json.dumps(TEXT | {"q": "ab cd ef gh " * 200}).encode()
    scope = {"type": "http", "method": "POST", "path": "/translate", "query_string": b"", "headers": []}
    sent = []

    async def run():
        async with app.router.lifespan_context(app):
            messages = [{"type": "http.request", "body": body, "more_body": False}]

            async def receive():
                if messages:
                    return messages.pop()
                while not entered.is_set():
                    await asyncio.sleep(0.005)
                return {"type": "http.disconnect"}

            async def send(message):
                sent.append(message)

            await app(scope, receive, send)
            transport = httpx.ASGITransport(app)
            async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
                while "nmt_sentences_in_search 0" not in (text := (await client.get("/metrics")).text):
                    await asyncio.sleep(0.01)
                return text

    text = asyncio.run(asyncio.wait_for(run(), 60))
    assert sent[0]["status"] == 499
    assert "nmt_abandoned_total 1" in text
    assert "nmt_requests_in_work 0" in text


def test_what_is_wrong_with_the_server_is_told_in_one_line(models, monkeypatch):
    monkeypatch.setitem(sys.modules, "py3langid", None)
    with serving(models) as client:
        answer = client.post("/detect", json={"q": "a"})
    assert answer.status_code == 501
    assert "pip install py3langid" in answer.json()["error"]
