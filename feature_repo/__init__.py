"""What ML engineers declare: views of streaming features, their Feast objects, the ranker's inputs."""
