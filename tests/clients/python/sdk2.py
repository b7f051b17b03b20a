"""Langfuse's Python SDK 2.60 as a program uses it; prints one line of JSON about what it sent and was told.

Its one argument is a JSON object: host, public_key, secret_key, run (a prefix of every id).
"""

import json
import os
import sys

sys.dont_write_bytecode = True
import heard  # noqa: E402

JOB = json.loads(sys.argv[1])
RUN = JOB["run"]
# By itself the SDK cuts an event at 1 MB and a batch at 2.5 MB: whoever raises both meets the server's limit.
os.environ["LANGFUSE_MAX_EVENT_SIZE_BYTES"] = "20000000"
os.environ["LANGFUSE_MAX_BATCH_SIZE_BYTES"] = "20000000"

from langfuse import Langfuse  # noqa: E402
from langfuse.api.resources.commons.errors import UnauthorizedError  # noqa: E402
from langfuse.decorators import langfuse_context, observe  # noqa: E402
from langfuse.version import __version__  # noqa: E402


def client(secret_key=JOB["secret_key"], **more):
    answer = lambda response: f"{response.request.method} {response.status_code}"  # noqa: E731
    return Langfuse(
        public_key=JOB["public_key"], secret_key=secret_key, host=JOB["host"], max_retries=1, timeout=20,
        httpx_client=heard.http(answer), **more,
    )


def authorised(langfuse):
    try:
        return langfuse.auth_check()
    except UnauthorizedError:
        return "401"


def low_level(langfuse):
    """A trace with a tree below it, each changed after it was created."""
    trace = langfuse.trace(
        id=f"{RUN}-t", name="chat", user_id="ada", session_id=f"{RUN}-session", tags=["b", "a"],
        metadata={"run": RUN}, input={"question": "why?"}, release="r1", version="v1",
    )
    span = trace.span(id=f"{RUN}-s", name="retrieve", input={"k": 3}, metadata={"index": "docs"})
    generation = span.generation(
        id=f"{RUN}-g", name="answer", model="gpt-4o", model_parameters={"max_tokens": 50},
        input=[{"role": "user", "content": "why?"}],
    )
    generation.end(output="because", usage={"input": 11, "output": 7, "total": 18, "unit": "TOKENS"})
    span.event(id=f"{RUN}-e", name="hit", metadata={"score": 0.9}, level="WARNING", status_message="far")
    span.update(metadata={"hits": 2})
    span.end(output=["one", "two"])
    trace.update(output={"answer": "because"})
    trace.score(id=f"{RUN}-sc1", name="correct", value=0.5, comment="half")
    generation.score(id=f"{RUN}-sc2", name="tone", value="friendly", data_type="CATEGORICAL")
    langfuse.score(id=f"{RUN}-sc3", trace_id=f"{RUN}-t", name="seen", value=1, data_type="BOOLEAN")


@observe(as_type="generation")
def inner(word):
    langfuse_context.update_current_observation(model="gpt-4o-mini", usage_details={"input": 5, "output": 2})
    return word.upper()


@observe()
def outer(word):
    langfuse_context.update_current_trace(user_id="grace", tags=["decorated"])
    langfuse_context.score_current_trace(name="decorated", value=1)
    return inner(word)


def decorated():
    """The decorator, as most programs use the SDK."""
    langfuse_context.configure(public_key=JOB["public_key"], secret_key=JOB["secret_key"], host=JOB["host"])
    outer("word", langfuse_observation_id=f"{RUN}-d")
    langfuse_context.flush()


def read(langfuse):
    """What was sent, through the SDK's own checks of every answer."""
    trace = langfuse.fetch_trace(f"{RUN}-t").data
    return {
        "name": trace.name,
        "latency": trace.latency,
        "total_cost": trace.total_cost,
        "observations": sorted(it.id for it in trace.observations),
        "scores": sorted(it.id for it in trace.scores),
        "listed": [it.id for it in langfuse.fetch_traces(session_id=f"{RUN}-session").data],
        "generations": [it.id for it in langfuse.fetch_observations(trace_id=f"{RUN}-t", type="GENERATION").data],
    }


def write(langfuse):
    report = {"sdk": __version__, "auth": authorised(langfuse)}
    low_level(langfuse)
    langfuse.flush()
    decorated()
    report["sent"] = heard.told()

    stranger = client("sk-lf-wrong")
    auth = authorised(stranger)
    stranger.trace(id=f"{RUN}-stranger", name="never")
    stranger.flush()
    report["bad_key"] = {"auth": auth, **heard.told()}

    langfuse.trace(id=f"{RUN}-large", name="large", input="x" * 6_000_000)
    langfuse.flush()
    report["too_large"] = heard.told()
    langfuse.trace(id=f"{RUN}-after", name="after")
    langfuse.flush()
    report["after"] = heard.told()
    return report


def many(_):
    """Traces that are a request each."""
    langfuse = client(flush_at=1)
    ids = [f"{RUN}-{number}" for number in range(JOB["count"])]
    for it in ids:
        langfuse.trace(id=it, name="many")
    langfuse.flush()
    return {"ids": ids, **heard.told()}


print(json.dumps({"read": read, "write": write, "many": many}[JOB.get("do", "write")](client())))
