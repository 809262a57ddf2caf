kubectl delete locusttest gate --ignore-not-found
kubectl apply --filename gate.yaml
kubectl wait locusttest gate --for=condition=TestCompleted --timeout=15m
kubectl get locusttest gate --output wide
kubectl get locusttest gate --output jsonpath='{.status.conditions[?(@.type=="TestCompleted")].message}'
kubectl get locusttest gate --output jsonpath='{.status.phase}' | grep -qx Succeeded
