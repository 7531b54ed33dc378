"""`/api/v1`: what the dashboard shows, as JSON, for those who bring their own front end."""

from web.api.routes import add

__all__ = ["add"]
