"""How a mask follows from its logits, as the model's own code has it: for inference and all that comes after."""

MODEL_THRESHOLD = 0.5  # the probability above which a pixel is foreground
LOGITS_SCALE = 4  # from the logits to SAM2's input, in each direction
