-- Tells publishers that their messages are applied here and the waits over. They
-- read them from streams, beside the log, so that none is lost while Redis lives.
--   KEYS[2…] the acks to a publisher, one key for each ack
--   ARGV[3]  the node
--   ARGV[4…] for each ack: the message's id, problem, report
for i = 2, #KEYS do
  local at = 4 + (i - 2) * 3
  redis.call('XADD', KEYS[i], 'MAXLEN', '~', 10000, '*',
    'node', ARGV[3], 'id', ARGV[at], 'problem', ARGV[at + 1], 'report', ARGV[at + 2])
  redis.call('PEXPIRE', KEYS[i], 60000)
end
return redis.status_reply('OK')
