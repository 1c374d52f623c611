"""concx in other libraries."""

__all__: list[str] = []
