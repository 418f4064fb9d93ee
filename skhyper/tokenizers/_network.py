"""What a fitted tokenizer does: rows to latents, latents to codes, and back."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable, Iterable, Sequence
from numbers import Integral
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils.validation import check_is_fitted

from skhyper._utils._grid import grid_shape
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

    The subclass names the manifold and the bottleneck, and trains. What it does not
    offer as a parameter is a constant of the class.
    """

    latent_dim: int
    hidden_layer_sizes: int | Sequence[int]
    encoder: Any
    decoder: Any
    input_shape: Sequence[int] | None
    n_channels: int
    n_levels: int = 1
    residual: str = "exact"
    beam_size: int = 1
    device: str
    dtype: str
    weights_: dict[str, NDArray[Any]]
    codes_shape_: tuple[int, ...]
    _encoder_kind: str
    _decoder_kind: str
    offset_: FloatArray
    scale_: float

    @abstractmethod
    def _bottleneck(self, manifold: Any) -> Any:
        """Return a new `skhyper._nn` Bottleneck, as the parameters ask for."""

    def embed(self, X: ArrayLike) -> NDArray[Any]:
        """Return the latents before quantization.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            The data.

        Returns
        -------
        latents : array of shape (n_samples, n_positions * latent_dim)
            Tangent coordinates at the origin, in the dtype seen in `fit`; a position's
            are side by side.
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
        latents : array of shape (n_samples, n_positions * latent_dim)
            Tangent coordinates at the origin, in the dtype seen in `fit`; a position's
            are side by side.
        """
        check_is_fitted(self)
        X = check_X(self, X, reset=False)
        points = self._quantized_points(X)
        latents = np.asarray(self._manifold().logmap0(points)).reshape(len(X), -1)
        return latents.astype(self._dtype, copy=False)

    def _quantized_points(self, X: NDArray[Any]) -> FloatArray:
        """Return what the decoder gets of validated rows, as points."""
        return self._prefix_points(self._encode(X))

    def _widths(self) -> list[int]:
        """Return the widths of the hidden layers, checked."""
        given = self.hidden_layer_sizes
        widths = list(given) if isinstance(given, Iterable) else [given]
        if not all(isinstance(n, Integral) and n >= 1 for n in widths):
            raise ValueError(
                f"hidden_layer_sizes={given!r} must hold integers of at least 1."
            )
        return [int(n) for n in widths]

    def _check_input_shape(self) -> None:
        """Raise a ValueError unless `input_shape` is the shape of a row."""
        shape, n_features = self.input_shape, self.n_features_in_
        if shape is None:
            return
        sides = list(shape) if isinstance(shape, Iterable) else []
        whole = all(isinstance(side, Integral) and side >= 1 for side in sides)
        if len(sides) not in (2, 3) or not whole:
            raise ValueError(
                f"input_shape={shape!r} must be (channels, height, width) of pictures, "
                "or (channels, length) of sounds."
            )
        if math.prod(sides) != n_features:
            raise ValueError(
                f"input_shape={shape!r} has {math.prod(sides)} values, but X has "
                f"{n_features} features. Give the shape of a row of X."
            )
        if isinstance(self.encoder, str):
            raise ValueError(
                f"encoder={self.encoder!r} has no layers for input_shape={shape!r}; "
                "use encoder=None."
            )

    def _build(
        self,
        encoder: Any,
        decoder: Any,
        shape: tuple[int, list[int], int, Any],
        dtype: Any,
        device: Any,
        bottleneck: Any,
    ) -> Any:
        """Return a new network.

        `shape` has the dimensions of a latent, the hidden widths, the channels and the
        input shape.
        """
        from skhyper._nn._networks import Shape, build_networks
        from skhyper._nn._runtime import point_dtype

        latent_dim, *layers = shape
        sizes = Shape(self.n_features_in_, latent_dim, bottleneck.n_extra, *layers)
        halves = build_networks(encoder, decoder, sizes, bottleneck.manifold, dtype)
        return self._assemble(
            *halves,
            bottleneck,
            latent_dim=latent_dim,
            n_positions=math.prod(grid_shape(sizes.input_shape)),
            dtype=dtype,
            point_dtype=point_dtype(device, dtype),
            draws=callable(encoder) or callable(decoder),
            # a convolution rounds a picture by its place in a batch
            alone=sizes.input_shape is not None and device.type == "cpu",
        ).to(device)

    def _assemble(self, *parts: Any, **sizes: Any) -> Any:
        """Return a network of an encoder, a decoder and a bottleneck."""
        from skhyper._nn._model import Autoencoder

        return Autoencoder(*parts, **sizes)

    def _keep_network(self, model: Any) -> None:
        """Use a network from now on, which holds the fitted weights."""
        # convolutions of float32 round by the number of threads, on any processor
        _networks[self] = model.double() if model.alone else model

    def _network(self) -> Any:
        """Return the fitted network, rebuilt where a pickle or a file holds none."""
        model = _networks.get(self)
        if model is None:
            model = self._rebuilt()
            model.load_network_weights(self.weights_)
            self._keep_network(model)
        return model

    def _rebuilt(self) -> Any:
        """Return a network like the fitted one, whatever the parameters are now."""
        from skhyper._nn._model import NoBottleneck
        from skhyper._nn._runtime import resolve_device, resolve_dtype, seeded

        device = resolve_device(self.device)
        dtype = resolve_dtype(str(self.weights_["shift"].dtype), self._dtype, device)
        encoder = self._fitted_half("encoder", self._encoder_kind)
        decoder = self._fitted_half("decoder", self._decoder_kind)
        bottleneck = NoBottleneck(self._manifold(), self._n_extra())
        with seeded(0, device):  # layers are drawn, to be overwritten
            return self._build(
                encoder, decoder, self._fitted_shape(), dtype, device, bottleneck
            )

    def _n_extra(self) -> int:
        """Return what the fitted encoder says of a latent beside its coordinates."""
        return 0

    def _kind_of(self, half: str) -> str:
        """Return what a parameter asks for: "mlp", "hyperbolic" or "own"."""
        given = getattr(self, half)
        if given is None:
            return "mlp"
        return "own" if callable(given) else str(given)

    def _fitted_half(self, half: str, kind: str) -> Any:
        """Return what `encoder` or `decoder` was in the fit."""
        if kind != "own":
            return None if kind == "mlp" else kind
        given = getattr(self, half)
        if not callable(given):
            raise ValueError(
                f"{half}={given!r}, but it was a network of the user's own in the fit, "
                "of which only the weights are kept. Give one of the same kind: "
                f"set_params({half}=...)."
            )
        return given

    def _fitted_shape(self) -> tuple[int, list[int], int, Any]:
        """Return the sizes of `_build` as they were fitted."""
        return self.codebooks_[0].shape[1], *self._fitted_layers()

    def _fitted_layers(self) -> tuple[list[int], int, Any]:
        if self._encoder_kind == self._decoder_kind == "own":
            return [], 0, self._input_shape
        half = "decoder" if self._encoder_kind == "own" else "encoder"
        widths = [
            len(array)
            for name, array in self.weights_.items()
            if name.startswith(half) and name.endswith("bias")
        ]
        if self._input_shape is not None:
            return [], widths[0], self._input_shape
        hidden = widths[:-1]
        return hidden if half == "encoder" else hidden[::-1], 0, None

    def _scale(self) -> Scale:
        return Scale(self.offset_, self.scale_)

    def _embed(self, X: NDArray[Any]) -> FloatArray:
        model = self._network()
        latents = apply_half(model, model.embed, self._scale().apply(X))
        return latents.astype(np.float64, copy=False)

    def _points(self, X: NDArray[Any]) -> FloatArray:
        latents = self._embed(X).reshape(-1, self.codebooks_[0].shape[1])
        return np.asarray(self._manifold().expmap0(latents))

    def _stack(self) -> ResidualStack:
        return ResidualStack(self._manifold(), self.codebooks_, self.residual)

    def _encode(self, X: NDArray[Any]) -> IntArray:
        return self._stack().encode(self._points(X), self.beam_size)

    def _decode(self, codes: IntArray) -> FloatArray:
        return self._decode_points(self._prefix_points(codes))

    def _decode_points(self, points: FloatArray) -> FloatArray:
        return self._decode_latents(np.asarray(self._manifold().logmap0(points)))

    def _decode_latents(self, latents: FloatArray) -> FloatArray:
        model, n_rows = self._network(), len(latents) // self._n_positions
        rows = apply_half(model, model.decode, latents.reshape(n_rows, -1))
        return self._scale().undo(rows)


def apply_half(model: Any, half: Callable[[Any], Any], X: NDArray[Any]) -> NDArray[Any]:
    """Return what one half of a network makes of rows."""
    from skhyper._nn._runtime import INFERENCE_ROWS, apply_in_blocks

    model.eval()
    n_rows = 1 if model.alone else INFERENCE_ROWS
    return apply_in_blocks(half, X, model.dtype, model.device, n_rows)
