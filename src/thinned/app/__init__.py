"""The main job: the Hydra application and its command line."""
