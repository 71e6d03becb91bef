"""The long lane's processes, which the worker pool keeps, as one gunicorn process asks them."""

import logging
from pathlib import Path

from api.lanes import Lanes
from inference import remote
from inference.errors import InferenceFailed
from inference.model import Prediction
from inference.remote import Lost, Question
from inference.stop import Stop

ATTEMPTS = 2
log = logging.getLogger(__name__)


class LaneProcesses:
    def __init__(self, path: Path, lanes: Lanes) -> None:
        self._path, self._lanes = path, lanes

    def predict(self, question: Question, image: bytes, stop: Stop) -> Prediction:
        """In a greenlet, which waits. A process that dies meanwhile may have been ended from outside: another one is
        asked, once.

        Raises:
            Unavailable: nobody takes the question, or they do not serve the model. InferenceFailed: two died of it.
            What the prediction raises.
        """
        answer = self._ask(question, image, stop)
        return self._lanes.off_hub(len(answer), lambda: remote.read_answer(answer))

    def _ask(self, question: Question, image: bytes, stop: Stop) -> bytes:
        for _ in range(ATTEMPTS):
            try:
                return remote.ask(self._path, question, image, stop)
            except Lost as error:
                log.warning("a process of the long lane is gone while it was asked for %s: %s", question.model_type,
                            error)
        raise InferenceFailed("the process that computed it died, and so did a second one: worker.log tells more")
