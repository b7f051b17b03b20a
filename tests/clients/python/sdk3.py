"""Langfuse's Python SDK 3 (OTLP) as a program uses it; prints one line of JSON about what it sent and was told.

Its one argument is a JSON object: host, public_key, secret_key, run (part of every name).
"""

import json
import sys

from langfuse import Langfuse, observe, propagate_attributes
from langfuse.api.resources.commons.errors import UnauthorizedError
from langfuse.version import __version__
from pydantic.v1 import ValidationError

sys.dont_write_bytecode = True
import heard  # noqa: E402

JOB = json.loads(sys.argv[1])
RUN = JOB["run"]


def client(secret_key=JOB["secret_key"], public_key=JOB["public_key"]):
    answer = lambda it: f"{it.request.method} {it.request.url.path} {it.status_code}"  # noqa: E731
    return Langfuse(
        public_key=public_key, secret_key=secret_key, host=JOB["host"], timeout=10,
        httpx_client=heard.http(answer),
    )


def authorised(langfuse):
    try:
        return langfuse.auth_check()
    except UnauthorizedError:
        return "401"
    except ValidationError as error:
        return ".".join(str(part) for part in error.errors()[-1]["loc"])


def tree(langfuse):
    """A trace of spans, a generation and an event, with scores on trace and observation."""
    with langfuse.start_as_current_span(name=f"{RUN} chat", input={"question": "why?"}) as root:
        with propagate_attributes(user_id="ada", session_id=f"{RUN}-session"):
            root.update_trace(user_id="ada", session_id=f"{RUN}-session", tags=["a", "b"])
            with langfuse.start_as_current_observation(
                as_type="generation", name="answer", model="gpt-4o", model_parameters={"max_tokens": 50}
            ) as generation:
                generation.update(output="because", usage_details={"input": 11, "output": 7})
                langfuse.create_event(name="hit", metadata={"score": 0.9})
                generation.score(name="tone", value="friendly", data_type="CATEGORICAL", score_id=f"{RUN}-sc2")
        root.update(output="done", level="WARNING", status_message="slow")
        langfuse.create_score(trace_id=root.trace_id, name="correct", value=0.5, score_id=f"{RUN}-sc1")
        return {"trace": root.trace_id, "root": root.id, "generation": generation.id}


@observe(name=f"{RUN} decorated")
def decorated(word):
    return word.upper()


def span(langfuse, name, size=1):
    with langfuse.start_as_current_span(name=name, input="x" * size) as it:
        return it.trace_id


langfuse = client()
report = {"sdk": __version__, "auth": authorised(langfuse), "ids": tree(langfuse)}
decorated("word")
langfuse.flush()
report["sent"] = heard.told()

if JOB.get("large"):
    report["ids"]["large"] = span(langfuse, "large", JOB["large"])
    langfuse.flush()
    report["too_large"] = heard.told()
report["ids"]["after"] = span(langfuse, "after")
langfuse.flush()
report["after"] = heard.told()

# One project has one client in a process: the stranger has a public key of its own.
stranger = client("sk-lf-wrong", JOB["public_key"] + "x")
report["bad_key"] = {"auth": authorised(stranger)}
report["ids"]["stranger"] = span(stranger, "never")
stranger.flush()
report["bad_key"].update(heard.told())
print(json.dumps(report))
