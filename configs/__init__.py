"""The Hydra configuration tree, installed as package ``storybench_configs`` so that a wheel carries it."""
