-- While a call runs, and when it never went out.

local function release(_, event)
  local record = record_of(event)
  if is_held(record) or record.state == 'blocked' then
    take_back(record)
    record.state, record.states, record.changed = nil, nil, true
  end
  return {}
end

local function extend(step, event)
  local record = record_of(event)
  if is_held(record) then
    local more, new = {}, {}
    for i, old in ipairs(record.hold) do
      new[i] = math.max(old, step[i + 1])
      more[i] = new[i] - old
    end
    if record.state == 'held' then hold(record, 1, more) end
    record.hold, record.changed = new, true
  end
  return {}
end

-- What no longer counted as held does again.
local function renew(step)
  for i = 2, #step do
    local record = record_of(step[i])
    if is_held(record) then
      if record.state == 'lapsed' then hold(record, 1, record.hold) end
      record.state, record.changed, record.renewed = 'held', true, true
    end
  end
  return {}
end
