"""MLPerf's scenarios on the services in matrix.toml, by its own load generator, against this machine's baseline."""


def test_serving(inferkit_service):
    inferkit_service.check()
