"""Serve a bundle over HTTP, keep feedback, and update the bundle from it."""

from sklearn_llmrec.serving._cli import main as main
from sklearn_llmrec.serving._create import create_app
from sklearn_llmrec.serving._errors import StoreUnavailable
from sklearn_llmrec.serving._events import logged_choices
from sklearn_llmrec.serving._keys import new_key
from sklearn_llmrec.serving._update import Update, update

__all__ = ["StoreUnavailable", "Update", "create_app", "logged_choices", "new_key", "update"]
