"""The race: this package against others on the same training, measured; see ``__main__.py``."""
