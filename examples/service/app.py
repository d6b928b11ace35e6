"""The classifier as a JSON service: `python -m examples.service.app`, or `make serve`.

    curl -s localhost:8000/predict -H 'content-type: application/json' \
        -d '{"texts": ["The striker scored twice."]}'

GET /health says whether the model is loaded. POST /predict takes {"texts": [...]}. What is refused
comes back as {"error": {"code": ..., "message": ...}}: 400 if it can't be read, 404 and 405 for
another address or method, 413 if it is too large, 422 if it can be read and not be answered, 500
if the model fails. Beyond 32 connections the answer is a bare 503. The log has a line for each
request, with counts and times, and never a text. Ctrl-C ends it; who waits is answered first.
"""

import argparse
import json
import logging
import time
from collections import Counter
from typing import Annotated

import uvicorn
from fastapi import Depends, FastAPI, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from examples.service.classifier import Classifier, InputError, Limits, ModelError, Prediction
from examples.service.train import default_model

LARGEST = 2**20  # bytes of a request
CONNECTIONS = 32  # at once; the next one gets a 503 and doesn't wait
PATIENCE = 5  # seconds that a request may still take when the service is told to end
logger = logging.getLogger("service")


class Unreadable(Exception):
    """A request that is no JSON object of this service; answered with this HTTP status."""

    def __init__(self, status: int, code: str, message: str):
        super().__init__(message)
        self.status, self.code = status, code


async def sent_texts(request: Request) -> object:
    """What stands under "texts" in the request's JSON.

    Raises:
        Unreadable: too large, not UTF-8, not JSON, or without "texts".
    """
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > LARGEST:  # before the rest is read: a length in the header may be a lie
            raise Unreadable(413, "too_large", f"The request has more than {LARGEST:,} bytes.")
    try:
        content = json.loads(body.decode("utf-8-sig"))  # Windows likes to begin with a mark
    except UnicodeDecodeError as error:
        message = f"Byte {error.start} of the request isn't UTF-8. Encode the text as UTF-8."
        raise Unreadable(400, "not_utf8", message) from None
    except (ValueError, RecursionError):  # a number of 5,000 digits is a ValueError, too
        raise Unreadable(400, "not_json", "The request isn't JSON.") from None
    if not isinstance(content, dict) or "texts" not in content:
        raise Unreadable(422, "wrong_type", 'Send an object: {"texts": ["…", "…"]}.')
    return content["texts"]


def refusal(status: int, code: str, message: str) -> JSONResponse:
    logger.info(json.dumps({"refused": code, "status": status}))
    return JSONResponse({"error": {"code": code, "message": message}}, status)


def log_line(predictions: list[Prediction], seconds: float) -> str:
    """What is worth watching of an answered request, without its texts."""
    found = [max(p.probabilities.values()) for p in predictions]
    return json.dumps(
        {
            "texts": len(predictions),
            "pieces": [p.pieces for p in predictions],
            "truncated": sum(p.truncated for p in predictions),
            "labels": Counter(p.label for p in predictions),
            "confidence": [round(p, 3) for p in found],
            "ms": round(1000 * seconds, 1),
        }
    )


def create_app(classifier: Classifier) -> FastAPI:
    """The service of one classifier."""
    app = FastAPI(title="Text classifier", docs_url=None, redoc_url=None)  # they load from a CDN

    @app.get("/health")
    def health() -> dict:
        return {"status": "ok", "model": classifier.name, "labels": classifier.labels}

    @app.post("/predict")
    async def predict(texts: Annotated[object, Depends(sent_texts)]) -> dict:
        started = time.perf_counter()
        predictions = await run_in_threadpool(classifier, texts)  # /health answers meanwhile
        logger.info(log_line(predictions, time.perf_counter() - started))
        return {"model": classifier.name, "predictions": predictions}

    @app.exception_handler(InputError)
    def refuse(_: Request, error: InputError) -> JSONResponse:
        return refusal(422, error.code, str(error))

    @app.exception_handler(Unreadable)
    def refuse_unread(_: Request, error: Unreadable) -> JSONResponse:
        return refusal(error.status, error.code, str(error))

    @app.exception_handler(HTTPException)
    def refuse_address(_: Request, error: HTTPException) -> JSONResponse:
        code = {404: "no_such_address", 405: "wrong_method"}.get(error.status_code, "refused")
        return refusal(error.status_code, code, "This service has GET /health and POST /predict.")

    @app.exception_handler(Exception)
    def fail(_: Request, error: Exception) -> JSONResponse:  # uvicorn logs the traceback
        return refusal(500, "failed", f"The model failed with {type(error).__name__}.")

    return app


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", help="folder or Hub id; default: a small classifier of news")
    parser.add_argument("--host", default="127.0.0.1", help="0.0.0.0: from other machines too")
    parser.add_argument("--port", type=int, default=8000)
    arguments = parser.parse_args()
    logging.basicConfig(format="%(asctime)s %(name)s %(message)s")
    logger.setLevel(logging.INFO)
    try:
        classifier = Classifier(arguments.model or default_model(), Limits())
    except ModelError as error:
        parser.error(str(error))
    uvicorn.run(
        create_app(classifier),
        host=arguments.host,
        port=arguments.port,
        limit_concurrency=CONNECTIONS,
        timeout_graceful_shutdown=PATIENCE,
    )


if __name__ == "__main__":
    main()
