"""One request, top to bottom: hydrate, retrieve, filter, rank, re-rank, explain, respond."""

import os

# From 1.29 on ONNX Runtime tells its maker what it is used for and keeps an id under ~/.cache, unless it is told not to
# before it is loaded (github.com/microsoft/onnxruntime, docs/Privacy.md). `serving.model` loads it, nothing else does.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
