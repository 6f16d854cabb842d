-- Health of a FineTuneJob: Progressing until its adapter is published, Degraded when it has failed for good, with its own words.
if obj.status == nil or obj.status.conditions == nil then
  return {status = "Progressing", message = "the operator has not seen the job yet"}
end
if obj.status.observedGeneration ~= obj.metadata.generation then
  return {status = "Progressing", message = "the operator has not seen the last change yet"}
end

local said = {}
for _, condition in ipairs(obj.status.conditions) do
  said[condition.type] = condition
end
local function holds(kind)
  return said[kind] ~= nil and said[kind].status == "True"
end

if holds("Stalled") then
  return {status = "Degraded", message = said.Stalled.reason .. ": " .. said.Stalled.message}
end
if holds("Ready") then
  return {status = "Healthy", message = said.Ready.message}
end
if holds("Suspended") then
  return {status = "Suspended", message = said.Suspended.message}
end
if said.Ready ~= nil then
  return {status = "Progressing", message = said.Ready.message}
end
return {status = "Progressing", message = "the operator has not judged the job yet"}
