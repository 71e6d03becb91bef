"""What can go wrong between an image's bytes and its prediction. The text is meant for the caller."""


class InferenceError(Exception):
    """Base of the errors below; the text says what happened and what to do."""


class UnsupportedImage(InferenceError):
    """The bytes are not an image that can be read: another format, truncated, damaged."""


class TooManyPixels(InferenceError):
    """The image's header announces more pixels than are allowed."""


class ModelNotFound(InferenceError):
    """No model of this name is served."""


class BadParameter(InferenceError):
    """A parameter of the task is unknown, malformed or out of range."""


class InferenceFailed(InferenceError):
    """The model or its postprocessing raised while it ran."""


class Overdue(InferenceError):
    """The prediction took, or would take, longer than it may."""


class Stopped(InferenceError):
    """Nobody waits for the prediction any more."""


class ModelNotUsable(InferenceError):
    """A model's files cannot be served; the text is the `reason` of `GET /models`."""


class NotDrawable(InferenceError):
    """A result that is no picture and marks nothing on one: an embedding, plain tensors."""
