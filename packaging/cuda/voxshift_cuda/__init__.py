"""CUDA for the package voxshift, which takes its compiled module from here: there is nothing to import."""
