"""From calibration images to the dynamic range of every tensor."""
