"""What completes a cart, for a person or for anybody: the stages of `bought_together`, over several items."""

from dataclasses import replace

from recommend.surfaces.bought_together import bought_together

cart = replace(
    bought_together,
    name="cart",
    title="Complete your cart",
    doc="What completes a cart, for a person or for anybody.",
    call="POST /v1/cart",
)
