"""Load on a service: MLPerf's scenarios, and the figures that come out of them."""
