"""Stage 1: a latent diffusion model whose caption carries pictures of the characters at their names."""
