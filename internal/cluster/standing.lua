-- seq and every member with its last renewal, flat.
local function standing()
  local all = redis.call('HGETALL', KEYS[1])
  local out = { '0' }
  for i = 1, #all, 2 do
    if all[i] == 'seq' then
      out[1] = all[i + 1]
    elseif string.sub(all[i], 1, 2) == 'n:' then
      out[#out + 1] = string.sub(all[i], 3)
      out[#out + 1] = all[i + 1]
    end
  end
  return out
end
