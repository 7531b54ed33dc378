"""One module a page: `layout(**query)` builds it, `register(app)` adds its callbacks."""
