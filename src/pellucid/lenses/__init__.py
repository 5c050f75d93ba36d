"""One file, one question: ``measure_x(model or features, data, ...) -> X``."""
