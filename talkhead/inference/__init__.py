"""Running a model: device, batches, compilation, transfers and fused layers."""
