"""What gunicorn serves: `gunicorn -c gunicorn/gunicorn_cfg.py wsgi:app`."""

from api.app import create_app
from settings import load_settings

app = create_app(load_settings())
