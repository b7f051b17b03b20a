"""What an SDK is answered with and complains of, for the scripts beside this one."""

import logging

import httpx

ANSWERS = []


class Complaints(logging.Handler):
    """What is logged at WARNING and above."""

    def __init__(self):
        super().__init__(logging.WARNING)
        self.lines = []

    def emit(self, record):
        self.lines.append(f"{record.name}: {record.getMessage()}")

    def take(self):
        lines, self.lines = self.lines, []
        return lines


complaints = Complaints()
logging.getLogger().addHandler(complaints)


def http(answer):
    """A client of HTTP whose answers are noted: the SDKs swallow what a POST is answered with 4xx."""
    return httpx.Client(event_hooks={"response": [lambda response: ANSWERS.append(answer(response))]}, timeout=20)


def told():
    """Distinct answers and complaints since the last call."""
    answers = sorted(set(ANSWERS))
    ANSWERS.clear()
    return {"answers": answers, "complaints": complaints.take()}
