"""What the parts cost without Punnet: one Flask view, one prediction at a time in a native thread. It has no routes, no
identifiers, no costs, no log and no errors. `gunicorn --worker-class gevent 'bench.bare_flask:create_app()'`."""

from flask import Flask, request
from gevent.threadpool import ThreadPool

from bench.peers import models


def create_app() -> Flask:
    """The application of one of gunicorn's processes."""
    app, threads, predict = Flask(__name__), ThreadPool(1), models.load(models.QUICK)

    @app.post(f"/{models.QUICK}")
    def quick() -> dict:
        return threads.apply(predict, (request.files["image"].read(),))

    return app
