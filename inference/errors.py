"""What can go wrong between an image's bytes and its prediction. The text of each error is meant for the caller."""


from collections.abc import Sequence


class InferenceError(Exception):
    """This is the base of the errors below. The text says what happened and what to do.

    `samples` are what was done before it was raised: a part of the work, amounts of it, milliseconds of a core.
    """

    samples: Sequence[tuple[str, tuple[float, ...], float]] = ()


class UnsupportedImage(InferenceError):
    """The bytes are not an image that can be read: they are of another format, truncated or damaged."""


class TooManyPixels(InferenceError):
    """The image's header announces more pixels than are allowed."""


class PoisonImage(InferenceError):
    """The image ended two predictors, one after the other, so nobody tries it again."""


class ModelNotFound(InferenceError):
    """No model of this name is served."""


class ModelLoading(InferenceError):
    """The model is there, but it is not loaded yet. The same request will be answered later."""


class ModelNotUsable(InferenceError):
    """A model's files cannot be served. The text is the `reason` of `GET /models`."""


class BadParameter(InferenceError):
    """A parameter of the task is unknown, malformed or out of range."""


class InferenceFailed(InferenceError):
    """The model, its hooks or its task raised an error while it ran."""


class SlowToDecode(InferenceError):
    """Decoding the image takes longer than its route may be kept; as a job it may take its time."""


class Overdue(InferenceError):
    """The prediction took, or would take, longer than it may."""


class CalledOff(InferenceError):
    """The run was called off from outside, because nobody waits for its result any more."""


class PredictorsAway(InferenceError):
    """No predictor listened for so long that the asker gave up. The same question may be asked again later."""


class NotDrawable(InferenceError):
    """The result is no image and has nothing to draw on one: it is an embedding, or plain tensors."""


class NotOneTensor(InferenceError):
    """The result is not one tensor of numbers, so plain bytes do not tell it."""
