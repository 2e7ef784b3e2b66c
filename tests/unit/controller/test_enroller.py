"""The enroller's process: what it answers, and everything that can go wrong with it."""

import sys
from pathlib import Path

import pytest

from controller.adapters.enroller import ProcessEnroller
from controller.services.enrolment import Enrolment
from controller.services.refusals import Invalid

TINY = Path(__file__).parents[2] / "integration" / "controller" / "tiny_enroller.py"


def python(*words: str, timeout_s: float = 30.0) -> ProcessEnroller:
    return ProcessEnroller([sys.executable, *words], timeout_s)


def test_a_probe_survives_its_encrypted_form() -> None:
    probe = python(str(TINY)).enrol(b"face:3")
    again = Enrolment.from_bytes(probe.to_bytes())
    assert again.embedding.tolist() == probe.embedding.tolist()
    assert (again.space_id, again.mask_state) == ("mfn192-arc5-w2", "unmasked")


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("print('{}')", "odd"),
        ("print('hello')", "no answer"),
        ("import sys; sys.exit(3)", "no answer"),
        ('print(\'{"embedding_b64": "AAAA"}\')', "odd"),
        ("import time; time.sleep(9)", "took more than"),
        ("print('x' * 3_000_000)", "no answer"),
    ],
)
def test_a_bad_enroller_is_one_line(code: str, words: str) -> None:
    with pytest.raises(Invalid, match=words) as caught:
        python("-c", code, timeout_s=3.0 if "sleep" in code else 30.0).enrol(b"face:1")
    assert "\n" not in str(caught.value)


def test_a_missing_enroller_names_the_setting() -> None:
    with pytest.raises(Invalid, match=r"\[enroller\] command"):
        ProcessEnroller(["/nonexistent/enroller"], 5.0).enrol(b"face:1")


def test_the_enroller_sees_none_of_our_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIGHTLINE_TOKEN", "secret")
    code = (
        "import json, os; "
        "print(json.dumps({'error': {'message': str('SIGHTLINE_TOKEN' in os.environ)}}))"
    )
    with pytest.raises(Invalid, match="False"):
        python("-c", code).enrol(b"x")
