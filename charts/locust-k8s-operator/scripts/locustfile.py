"""The load of `helm test`. It requests the page of Locust's own master, so it needs no other target."""

from locust import HttpUser, constant, task


class Visitor(HttpUser):
    wait_time = constant(0.5)

    @task
    def visit(self):
        self.client.get("/")
