-- Health of a LocustTest for Argo CD, which does not read the conditions of kinds that it does not know.
-- A test is Healthy when it has succeeded, not while it runs, so that a sync hook or a sync wave waits for its end.
local health = {status = "Progressing", message = "waiting for the operator"}
if obj.status == nil or obj.status.phase == nil or obj.status.phase == "" then
  return health
end
local conditions = {}
for _, condition in ipairs(obj.status.conditions or {}) do
  conditions[condition.type] = condition
end
local function message(name)
  local condition = conditions[name]
  if condition == nil then
    return obj.status.phase
  end
  return condition.reason .. ": " .. condition.message
end
health.message = message("TestCompleted")
if obj.status.phase == "Succeeded" then
  health.status = "Healthy"
elseif obj.status.phase == "Failed" then
  health.status = "Degraded"
else
  for _, name in ipairs({"PodsHealthy", "LoadDelivered", "WorkersConnected"}) do
    if conditions[name] ~= nil and conditions[name].status == "False" then
      health.message = message(name)
      break
    end
  end
end
return health
