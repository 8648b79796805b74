"""The recommendation core: one request over columns and a model, without I/O. Serving and training both run it."""

import os

# From 1.29 on ONNX Runtime reports its use and keeps an id under ~/.cache unless this is set before it is loaded
# (github.com/microsoft/onnxruntime, docs/Privacy.md). `recommend.model` loads it, nothing else does.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
