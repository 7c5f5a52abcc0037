"""Embedding networks: structured outputs to short summaries, trained jointly with the head."""

from invgan.gan.embedding.build import Embedding, build_embedding

__all__ = ["Embedding", "build_embedding"]
