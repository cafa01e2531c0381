class CoreError(Exception):
    """The one exception of the core: a stable code, the object it is about, and the technical detail."""

    def __init__(self, code: str, object: str, detail: str) -> None:
        super().__init__(code, object, detail)
        self.code = code
        self.object = object
        self.detail = detail

    def __str__(self) -> str:
        return ": ".join(part for part in (self.code, self.object, self.detail) if part)
