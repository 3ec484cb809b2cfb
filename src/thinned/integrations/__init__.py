"""Bridges to trainers that are not Lightning's."""
