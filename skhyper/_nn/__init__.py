"""The only folder that imports torch: networks, the residual stack, the loop."""
