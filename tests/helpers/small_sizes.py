"""Sizes of very small models, as their configurations state them."""

DECODER = {  # a language model of one layer
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 1,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 32,
    "pad_token_id": 0,
}
TOWER = {  # InternViT, for tiles of 448
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "image_size": 448,
}
SAM2 = {  # too few channels of memory for a sixth frame
    "embed_dim": 8,
    "num_heads": 1,
    "stages": [1, 1, 2, 1],
    "global_att_blocks": [3],
    "image_size": 256,
    "hidden_dim": 32,
    "mask_decoder_mlp_dim": 16,
    "iou_head_hidden_dim": 16,
    "memory_dim": 16,
    "memory_attention_layers": 1,
    "memory_attention_mlp_dim": 16,
    "memory_fuser_mlp_dim": 16,
}
