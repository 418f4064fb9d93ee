"""What a fitted tokenizer does: rows to latents, latents to codes, and back."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterable, Sequence
from numbers import Integral
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils.validation import check_is_fitted

from skhyper.base import BaseCoder, check_X
from skhyper.quantizers._stack import ResidualStack
from skhyper.tokenizers._scale import Scale

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

# Networks of fitted tokenizers, outside their __dict__: pickles and copies hold NumPy
# arrays only, and build the network again when they first need it.
_networks: WeakKeyDictionary[Any, Any] = WeakKeyDictionary()


class NetworkCoder(BaseCoder):
    """Encode and decode by a network whose weights are kept as NumPy arrays.

    The subclass names the manifold and the parts of the stack, and trains.
    """

    latent_dim: int
    hidden_layer_sizes: int | Sequence[int]
    encoder: Any
    decoder: Any
    beam_size: int
    device: str
    dtype: str
    weights_: dict[str, NDArray[Any]]
    _encoder_kind: str
    offset_: FloatArray
    scale_: float

    @abstractmethod
    def _parts(self) -> dict[str, Any]:
        """Return what the stack is made of, as keywords of `skhyper._nn` Parts."""

    def embed(self, X: ArrayLike) -> NDArray[Any]:
        """Return the latents before quantization.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            The data.

        Returns
        -------
        latents : array of shape (n_samples, latent_dim)
            Tangent coordinates at the origin, in the dtype seen in `fit`.
        """
        check_is_fitted(self)
        return self._embed(check_X(self, X, reset=False)).astype(
            self._dtype, copy=False
        )

    def quantize(self, X: ArrayLike) -> NDArray[Any]:
        """Return the latents after quantization.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            The data.

        Returns
        -------
        latents : array of shape (n_samples, latent_dim)
            Tangent coordinates at the origin, in the dtype seen in `fit`.
        """
        check_is_fitted(self)
        points = self._prefix_points(self._encode(check_X(self, X, reset=False)))
        latents = np.asarray(self._manifold().logmap0(points))
        return latents.astype(self._dtype, copy=False)

    def _widths(self) -> list[int]:
        """Return the widths of the hidden layers, checked."""
        given = self.hidden_layer_sizes
        widths = list(given) if isinstance(given, Iterable) else [given]
        if not all(isinstance(n, Integral) and n >= 1 for n in widths):
            raise ValueError(
                f"hidden_layer_sizes={given!r} must hold integers of at least 1."
            )
        return [int(n) for n in widths]

    def _build(
        self,
        encoder: Any,
        widths: list[int],
        data: np.dtype[Any],
        device: Any,
        manifold: Any,
    ) -> Any:
        from skhyper._nn._model import Parts, ResidualAutoencoder
        from skhyper._nn._networks import build_networks
        from skhyper._nn._runtime import point_dtype, resolve_dtype

        dtype = resolve_dtype(self.dtype, data, device)
        shape = [self.n_features_in_, *widths, self.latent_dim]
        return ResidualAutoencoder(
            *build_networks(encoder, self.decoder, shape, manifold, dtype),
            manifold,
            Parts(**self._parts()),
            latent_dim=self.latent_dim,
            dtype=dtype,
            point_dtype=point_dtype(device, dtype),
            draws=callable(encoder) or callable(self.decoder),
        ).to(device)

    def _keep_network(self, model: Any) -> None:
        """Use a network from now on, which holds the fitted weights."""
        _networks[self] = model

    def _network(self) -> Any:
        """Return the fitted network, rebuilt where a pickle or a file holds none."""
        model = _networks.get(self)
        if model is None:
            from skhyper._nn._runtime import resolve_device, seeded

            device = resolve_device(self.device)
            widths = self._fitted_widths()
            encoder = {"mlp": None, "own": self.encoder}.get(
                self._encoder_kind, self._encoder_kind
            )
            with seeded(0, device):  # layers are drawn, and then overwritten
                model = self._build(
                    encoder, widths, self._dtype, device, self._manifold()
                )
            model.load_network_weights(self.weights_)
            _networks[self] = model
        return model

    def _kind_of_encoder(self) -> str:
        """Return what the parameter asks for: "mlp", "hyperbolic" or "own"."""
        if self.encoder is None:
            return "mlp"
        return "own" if callable(self.encoder) else str(self.encoder)

    def _fitted_widths(self) -> list[int]:
        """Return the widths of the hidden layers that were fitted."""
        if callable(self.encoder) and callable(self.decoder):
            return []
        half = "decoder" if self._encoder_kind == "own" else "encoder"
        widths = [
            len(array)
            for name, array in self.weights_.items()
            if name.startswith(half) and name.endswith("bias")
        ][:-1]
        return widths if half == "encoder" else widths[::-1]

    def _scale(self) -> Scale:
        return Scale(self.offset_, self.scale_)

    def _embed(self, X: NDArray[Any]) -> FloatArray:
        model = self._network()
        latents = apply_half(model, model.embed, self._scale().apply(X))
        return latents.astype(np.float64, copy=False)

    def _points(self, X: NDArray[Any]) -> FloatArray:
        return np.asarray(self._manifold().expmap0(self._embed(X)))

    def _stack(self) -> ResidualStack:
        residual = self._parts()["residual"]
        return ResidualStack(self._manifold(), self.codebooks_, residual)

    def _encode(self, X: NDArray[Any]) -> IntArray:
        return self._stack().encode(self._points(X), self.beam_size)

    def _decode(self, codes: IntArray) -> FloatArray:
        latents = np.asarray(self._manifold().logmap0(self._prefix_points(codes)))
        model = self._network()
        return self._scale().undo(apply_half(model, model.decode, latents))


def apply_half(model: Any, half: Callable[[Any], Any], X: NDArray[Any]) -> NDArray[Any]:
    """Return what one half of a network makes of rows."""
    from skhyper._nn._runtime import apply_in_blocks

    model.eval()
    return apply_in_blocks(half, X, model.dtype, model.device)
