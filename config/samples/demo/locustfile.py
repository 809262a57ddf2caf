"""A small load test: most users browse the catalogue, some look at one product, a few buy."""

import random

from locust import HttpUser, between, task


class Shopper(HttpUser):
    wait_time = between(0.2, 0.8)

    @task(6)
    def browse(self):
        self.client.get("/products")

    @task(3)
    def look(self):
        # One name for all products, so that the statistics have one line for them.
        self.client.get(f"/products/{random.randint(1, 100)}", name="/products/[id]")

    @task(1)
    def buy(self):
        with self.client.post("/orders", json={"product": 7, "amount": 1}, catch_response=True) as answer:
            if answer.status_code != 201:
                answer.failure(f"order was not accepted: {answer.status_code}")
