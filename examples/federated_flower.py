"""Send the messages of a federated fit through Flower: each client keeps its rows, and answers with sums.

    pip install "flwr>=1.20"

Name `client_app` and `server_app` in the configuration of a Flower app (`flwr run`). A request goes to a client as
bytes, which the client trusts as it trusts the code of the server. An answer comes back as arrays: the server executes
nothing of it. `python examples/federated_flower.py` converts the messages of a whole fit in one process.
"""

import pickle
import time

import numpy as np
from flwr.app import Array, ArrayRecord, Message, MessageType, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import ServerApp

from sklearn_llmrec import EASE
from sklearn_llmrec.datasets import make_interactions
from sklearn_llmrec.distributed import FederatedClient, fit_federated

N_CLIENTS, N_ITEMS = 20, 60
client_app, server_app = ClientApp(), ServerApp()


def rows_of(number):
    """Return the rows of a client; in practice read from its own disk."""
    return make_interactions(400, N_ITEMS, random_state=0).interactions[number::N_CLIENTS]


def to_request(request):
    """Return a request of `fit_federated` as a record of Flower."""
    return ArrayRecord({"bytes": Array(np.frombuffer(pickle.dumps(request), dtype=np.uint8))})


def answer_to(record, number):
    """Return the answer of a client to such a record; the dtype of its values travels as a text."""
    request = pickle.loads(record["bytes"].numpy().tobytes())
    sums = FederatedClient(rows_of(number)).answer(request)
    texts = {name: str(v) if isinstance(v, np.dtype) else v for name, v in sums.items()}
    return ArrayRecord({name: Array(np.asarray(value)) for name, value in texts.items()})


def from_answer(record):
    """Return the sums in an answer, as `fit_federated` reads them."""
    arrays = {name: array.numpy() for name, array in record.items()}
    return {
        name: np.dtype(str(value)) if value.dtype.kind == "U" else value[()]
        for name, value in arrays.items()
    }


@client_app.query()
def answer(message, context):
    """Answer a message of the server."""
    sums = answer_to(message.content["request"], int(context.node_config["partition-id"]))
    return Message(RecordDict({"sums": sums}), reply_to=message)


@server_app.main()
def main(grid, context):
    """Fit with all clients of the grid."""

    def sender(node):
        def sent(request):
            content = RecordDict({"request": to_request(request)})
            message = Message(content, message_type=MessageType.QUERY, dst_node_id=node)
            (reply,) = grid.send_and_receive([message], timeout=60)
            return from_answer(reply.content["sums"])

        return sent

    while len(nodes := list(grid.get_node_ids())) < N_CLIENTS:  # until all are connected
        time.sleep(1)
    report(fit_federated(EASE(), [sender(node) for node in nodes], n_items=N_ITEMS))


def report(result):
    print(f"{result.n_clients} clients, {len(result.left_out)} left out")


if __name__ == "__main__":
    clients = [
        lambda request, number=number: from_answer(answer_to(to_request(request), number))
        for number in range(N_CLIENTS)
    ]
    result = fit_federated(EASE(), clients, n_items=N_ITEMS)
    report(result)
    central = EASE().fit(make_interactions(400, N_ITEMS, random_state=0).interactions)
    difference = np.abs(result.estimator.coef_ - central.coef_).max()
    print(f"largest difference from the central weights: {difference:.0e}")
